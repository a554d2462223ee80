"""What people come with, each a file to copy: `python -m scenarios` lists them."""
