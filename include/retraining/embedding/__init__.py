"""The embedding stage: images become vectors, through a network that was trained on ImageNet."""
