"""Programs that show `repo` on real data; run them from the project's root."""
