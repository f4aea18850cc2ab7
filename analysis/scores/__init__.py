"""What test cases tell: Dice, distances and volumes by patient and class, and errors by arm and label count."""
