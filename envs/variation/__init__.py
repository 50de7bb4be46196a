"""What can vary about a robot: what a parameter writes, when it sets in, and what lies between policy and robot."""
