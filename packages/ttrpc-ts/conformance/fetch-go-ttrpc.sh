#!/bin/sh
# Fetch the sources of a ttrpc for Go that can stream, and of what it imports, from Debian into a GOPATH of our own.
# bookworm's Go 1.19 compiles this mixture: the newest ttrpc, with the protobuf and gRPC that are as old as that Go.
# Nothing is installed: apt runs with a configuration and lists of its own, and the packages are only unpacked.
# Usage: fetch-go-ttrpc.sh 1.1|1.2 FOLDER       prints the GOPATH. Does nothing if FOLDER is complete. 1.1 has no streams.
set -eu
version=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
gopath="$folder/root/usr/share/gocode"
if [ -e "$folder/complete" ]; then
  echo "$gopath"
  exit 0
fi
packages="
  golang-google-grpc-dev/bookworm
  golang-github-sirupsen-logrus-dev/bookworm
  golang-golang-x-sys-dev/bookworm
"
case "$version" in
1.1) packages="$packages
  golang-github-containerd-ttrpc-dev/bookworm
  golang-github-gogo-protobuf-dev/bookworm
  golang-github-golang-protobuf-1-3-dev/bookworm
  golang-google-genproto-dev/bookworm
  " ;;
1.2) packages="$packages
  golang-github-containerd-ttrpc-dev/forky
  golang-github-containerd-log-dev/forky
  golang-github-golang-protobuf-1-5-dev/bookworm
  golang-google-protobuf-dev/bookworm
  golang-google-genproto-dev/trixie
  " ;;
esac
command -v go >/dev/null || apt-get -qq install --yes --no-install-recommends golang-go >&2
rm -rf "$folder/debs" "$folder/root"
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/debs" "$folder/root"
for suite in bookworm trixie forky; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
done >"$folder/sources.list"
cat >"$folder/apt.conf" <<CONF
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder/cache";
Dir::State::status "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$folder/apt.conf"
apt-get -qq update >&2
cd "$folder/debs"
apt-get -qq download $packages >&2
for deb in *.deb; do dpkg -x "$deb" "$folder/root"; done
touch "$folder/complete"
echo "$gopath"
