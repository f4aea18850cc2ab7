"""Images and masks: readers, the decoded store, splits, augmentation and batches."""
