"""How requests go out: closed and open loop, connections, workers, the spool.

In: a `Workload`, an `Endpoint` and a seed. Out: raw exchanges in a spool, with every stamp taken at the socket. A schedule and a
body are functions of the workload and the seed alone, whatever the number of workers. It parses nothing while times are taken.
"""
