"""The demo: everything that quintet claims, measured on MovieLens-100K in minutes."""
