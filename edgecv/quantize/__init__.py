"""From a float .tflite file and images to an int8 one."""
