import sys
from runner.engine.__main__ import main

sys.exit(main(sys.argv))
