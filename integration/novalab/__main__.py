"""`python3 -m novalab`: see cli.py."""

import sys

from novalab.cli import main

sys.exit(main(sys.argv[1:]))
