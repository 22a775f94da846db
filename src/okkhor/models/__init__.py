"""Three-head networks, and ResNet-34 written out for reading."""
