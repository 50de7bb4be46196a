"""What networks are made of: weights as values, their first values, activations."""
