"""The two trainings: the loop, the losses as LightningModules, and what they are trained on."""
