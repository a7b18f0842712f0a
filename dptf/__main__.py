from dptf.cli.main import main

raise SystemExit(main())
