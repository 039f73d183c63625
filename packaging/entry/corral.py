"""What the frozen `corral` runs."""

import sys

from runner.__main__ import main

sys.exit(main())
