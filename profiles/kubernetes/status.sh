#!/bin/sh
# What has become of a Job: running, success or failed. Where the cluster does not answer: running.
said=$(kubectl get job "$1" --output 'jsonpath={.status.conditions[?(@.status=="True")].type}' 2>&1)
case "$?:$said" in
    0:*Complete*) echo success ;;
    0:*Failed* | [!0]*NotFound*) echo failed ;;
    0:*) echo running ;;
    *) echo "$said" >&2; echo running ;;
esac
