"""Text, files, YAML, workers and random streams: a leaf that metarl, metarl.envs and metarl.agents may all import."""
