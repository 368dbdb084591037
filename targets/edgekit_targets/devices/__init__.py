"""What executes model files."""
