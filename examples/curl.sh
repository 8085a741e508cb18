#!/bin/sh
# Ask a running server (saccade serve --model FOLDER) about an image:
#   sh examples/curl.sh IMAGE [QUESTION] [URL]
# An image that costs fewer tokens: "detail": "low", or "max_soft_tokens": 64 beside "url".
set -eu
image=$1
question=${2:-What is in the picture?}
url=${3:-http://127.0.0.1:8080}
model=$(curl -sS "$url/v1/models" | sed 's/.*"data":\[{"id":"\([^"]*\)".*/\1/')
data=$(base64 < "$image" | tr -d '\n')
printf '{"model":"%s","max_tokens":64,"messages":[{"role":"user","content":[
  {"type":"image_url","image_url":{"url":"data:image/png;base64,%s","detail":"auto"}},
  {"type":"text","text":"%s"}]}]}' "$model" "$data" "$question" |
  curl -sS "$url/v1/chat/completions" -H 'content-type: application/json' -d @-
echo
