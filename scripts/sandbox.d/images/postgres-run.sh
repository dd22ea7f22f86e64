#!/bin/sh
# Starts the database in the foreground, as the bitnami image's run.sh does.
export PATH=/usr/lib/postgresql/17/bin:"$PATH" LANG=C.UTF-8
exec postgres -D "${PGDATA:-/bitnami/postgresql/data}" -p "${POSTGRESQL_PORT_NUMBER:-5432}" \
    -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off "$@"
