"""The Long Range Arena's own files: download list, reader and check."""
