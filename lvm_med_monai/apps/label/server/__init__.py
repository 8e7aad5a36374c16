"""The part that runs inside MONAI Label's server and needs its environment."""
