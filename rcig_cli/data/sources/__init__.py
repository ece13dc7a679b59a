"""Real images from where users have them: folders, arrays, TensorFlow Datasets."""
