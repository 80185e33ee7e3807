"""Encoders of item and user attributes: one file a modality."""
