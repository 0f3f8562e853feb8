"""python -m hub_export"""

from hub_export.cli import main

main()
