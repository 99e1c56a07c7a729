from bench.mock.server import main

main()
