"""Files in and out: images, videos, results, written whole."""
