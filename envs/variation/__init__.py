"""What a parameter may change: the table of quantities, a `Write` that names one, and how each changes a model."""
