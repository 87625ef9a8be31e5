"""The store contract kit: what a store must do, case by case, and the ways to put it to the proof."""
