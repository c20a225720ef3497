from plainfilm.__main__ import main

main()
