"""Say what a study will run, cost and be able to find: `ablation plan` by its file.

python scripts/plan.py account_tax
"""

import sys

from ablation.command.main import main

if __name__ == "__main__" and (code := main(["plan", *sys.argv[1:]])):
    sys.exit(code)
