"""The network: blocks, towers, backbones, tasks, losses and their fusion."""
