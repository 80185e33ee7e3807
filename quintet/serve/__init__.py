"""Answering: the Recommender, its index, its slate and its explanations."""
