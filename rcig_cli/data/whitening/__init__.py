"""Channel statistics and ZCA whitening."""
