package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// memberCommand makes this program one member of an etcd cluster.
const memberCommand = "etcd-member"

// runMember runs it until SIGTERM, with etcd's own default settings but for its
// name, folder and addresses.
func runMember(args []string, stderr io.Writer) int {
	cfg := embed.NewConfig()
	var client, peer string
	f := flag.NewFlagSet(memberCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&cfg.Name, "name", "", "name of the member")
	f.StringVar(&cfg.Dir, "dir", "", "data folder")
	f.StringVar(&client, "client", "", "host:port for clients")
	f.StringVar(&peer, "peer", "", "host:port for the other members")
	f.StringVar(&cfg.InitialCluster, "cluster", "", "all members, as etcd's --initial-cluster")
	if err := f.Parse(args); err != nil {
		return 2
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = plain(client), plain(client)
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = plain(peer), plain(peer)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serveMember(ctx, cfg); err != nil {
		fmt.Fprintf(stderr, "%s %s: %v\n", memberCommand, cfg.Name, err)
		return 1
	}
	return 0
}

func serveMember(ctx context.Context, cfg *embed.Config) error {
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	}
}

// plain is the address as etcd wants it, without TLS.
func plain(addr string) []url.URL { return []url.URL{{Scheme: "http", Host: addr}} }
