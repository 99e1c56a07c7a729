"""How requests go out: closed and open loop, connections, workers, the spool.

In: a schedule, request bodies and an `Endpoint`. Out: raw exchanges in a spool, with every stamp taken at the socket. Which worker sends
a request changes neither its time nor its words. It parses nothing while times are taken.
"""
