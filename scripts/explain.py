"""Say what two configurations do before any GPU is used: `ablation explain` by its file.

python scripts/explain.py account_tax
"""

import sys

from ablation.command.main import main

if __name__ == "__main__" and (code := main(["explain", *sys.argv[1:]])):
    sys.exit(code)
