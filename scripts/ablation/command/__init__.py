"""The console command `ablation`: one module for each subcommand, imported when it is asked for."""
