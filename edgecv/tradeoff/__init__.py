"""Many runs side by side: their front, a page that shows it, a choice from it."""
