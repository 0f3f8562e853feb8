"""How the bundled demo generator was made: rendered heads, an attribute regressor, a StyleGAN2 trained on a CPU."""
