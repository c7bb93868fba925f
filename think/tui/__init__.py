"""The live monitor: reads run folders, draws them, touches nothing."""
