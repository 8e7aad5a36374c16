"""The demonstration: real scans in, a pretrained backbone, fine-tuned segmentation and a report out."""
