/** Do the work for each item, `limit` at a time, in order of the items. Rejects with the first error, when nothing runs any more. */
export async function eachLimited<T>(
  limit: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const lane = async () => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value);
  };
  const results = await Promise.allSettled(Array.from({ length: limit }, lane));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
