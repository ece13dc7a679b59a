"""Real images from where users have them: official downloads, folders, arrays, TensorFlow Datasets."""
