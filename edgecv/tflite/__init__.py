"""Reading, editing and running .tflite files, without TensorFlow."""
