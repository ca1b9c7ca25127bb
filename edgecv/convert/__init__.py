"""From a Keras model to a float .tflite file."""
