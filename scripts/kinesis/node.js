// A stand-in for Amazon Kinesis on the loopback address; its command line would listen on all. First argument: the port.
const port = Number(process.argv[2])
const db = require('kinesalite/db')

// It never answers where a time is asked for that no record of the shard has reached: the service then begins at the end.
const path = require.resolve('kinesalite/actions/getShardIterator')
const asItIs = require(path)
require.cache[path].exports = (store, data, cb) => {
  if (data.ShardIteratorType !== 'AT_TIMESTAMP' || data.Timestamp * 1000 > Date.now()) return asItIs(store, data, cb)
  const shard = db.resolveShardId(data.ShardId).shardIx
  const range = { gt: db.shardIxToHex(shard), lt: db.shardIxToHex(shard + 1) }
  db.lazy(store.getStreamDb(data.StreamName).createReadStream(range), cb)
    .filter(item => item.value.ApproximateArrivalTimestamp >= data.Timestamp)
    .join(found => {
      if (found.length > 0) return asItIs(store, data, cb)
      const { Timestamp, ...end } = data
      asItIs(store, { ...end, ShardIteratorType: 'LATEST' }, cb)
    })
}

const fast = { createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 500 }
require('kinesalite')(fast).listen(port, '127.0.0.1', () => console.log(`listening on ${port}`))
