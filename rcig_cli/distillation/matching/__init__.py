"""Methods that make a network treat the distilled images as it treats real ones.

``siamese``       one random operation for all images of a class, real and distilled
``features``      distribution matching: the mean features of each class
``gradients``     gradient matching: the gradients of the loss of each class
``trajectories``  trajectory matching: the parameters after training
"""
