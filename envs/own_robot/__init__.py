"""A person's own robot: a family from one YAML file, and its MJCF, compiled in a limited child process."""
