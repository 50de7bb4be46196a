"""A trained policy as one ONNX file with everything that a robot's computer needs to run it."""
