"""Stable-Baselines3: its algorithms as inner learners, and our environments as its VecEnv."""
