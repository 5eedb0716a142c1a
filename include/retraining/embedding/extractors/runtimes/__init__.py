"""What runs a network on a worker: TensorFlow, OpenVINO, or Keras on a backend other than TensorFlow."""
